"""How weights move: optimizers with Keras' numbers, schedules, the running mean."""
