"""How good each teacher node's best ticket is before training, and which teacher nodes are found."""
