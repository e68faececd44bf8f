"""The Teams meeting of a visit: made, locked by a lobby, watched by a subscription. Graph's only client is here."""
