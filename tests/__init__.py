"""Tests of behaviour through public interfaces, with real parts."""
