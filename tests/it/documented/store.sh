airlock mirror --store store
