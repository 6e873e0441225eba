package main

const childEnv = "MTASTS_RELAY_TEST_CHILD"

func child(string) {}
