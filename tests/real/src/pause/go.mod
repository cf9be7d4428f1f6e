module isthmus.dev/tests/real/pause

go 1.26.0
