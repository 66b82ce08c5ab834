"""The persistent volume binder: claims get volumes, volumes are reclaimed.

Spec: persistentvolume-controller, all sections. `plan` decides about claims, `reclaim` about
volumes, `binding` has the pieces of a binding, `provisioning` makes fake volumes; `controller` is
the shell. `ephemeral` is another controller: it makes the claims of pods' ephemeral volumes.
"""
