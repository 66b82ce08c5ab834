"""What kubeherd's processes say to each other that Kubernetes' do not (ARCHITECTURE.md). Pure."""
