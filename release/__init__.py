"""Checks of what is shipped: wheel and sdist, licences of what they pull in, the oldest versions they name."""
