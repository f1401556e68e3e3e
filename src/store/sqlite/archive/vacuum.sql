VACUUM main
