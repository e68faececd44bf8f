"""Write-backs: each connect and disconnect, delivered to the EHR in order, at least once, or visibly dead."""
