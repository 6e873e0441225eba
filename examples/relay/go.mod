module github.com/mtasts/go-mtasts/examples/relay

go 1.26.0

replace (
	github.com/mtasts/go-mtasts => ../..
	github.com/mtasts/go-mtasts/cache/rediscache => ../../cache/rediscache
)

require (
	github.com/emersion/go-smtp v0.25.1
	github.com/mtasts/go-mtasts v0.0.0
	github.com/mtasts/go-mtasts/cache/rediscache v0.0.0
	github.com/valkey-io/valkey-go v1.0.79
	golang.org/x/net v0.62.0
)

require (
	github.com/emersion/go-sasl v0.0.0-20241020182733-b788ff22d5a6 // indirect
	github.com/hashicorp/golang-lru/v2 v2.0.7 // indirect
	go.etcd.io/bbolt v1.5.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/text v0.43.0 // indirect
)
