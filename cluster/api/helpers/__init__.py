"""Questions about pods and nodes that controllers, scheduler, agents and tables answer alike."""
