"""Floor 2: what else can be measured."""
