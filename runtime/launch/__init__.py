"""SMART launches: a provider or a patient comes from the EHR, and we learn who they are and which visit it is."""
