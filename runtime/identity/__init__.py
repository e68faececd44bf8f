"""Microsoft sign-in, once per provider: an EHR user is linked to one Microsoft account of the organisation's tenant."""
