SELECT randomblob(32) AS seed
