"""For the companion notebooks: reference networks, transfer learning, explanations."""
