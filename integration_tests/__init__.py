"""Tests of the whole project, on databases of their own."""
