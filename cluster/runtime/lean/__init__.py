"""Libraries imported without what no process of kubeherd needs: start-up time and memory."""
