"""Histories of patients: order in time, and what a table of one row a patient has no column for."""
