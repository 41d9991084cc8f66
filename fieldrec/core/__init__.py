"""Floor 0: what every other part speaks: models, errors, clock, durable steps, workers."""
