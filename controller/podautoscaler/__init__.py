"""HorizontalPodAutoscalers: as many replicas as metrics ask for (spec podautoscaler)."""
