"""Rules of custom resources: expressions over what a structural schema describes."""
