"""Decisions: strategies read a market and a calendar and return sparse intents."""
