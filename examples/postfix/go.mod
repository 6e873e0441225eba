module github.com/mtasts/go-mtasts/examples/postfix

go 1.26.0

require (
	github.com/mtasts/go-mtasts v0.0.0
	github.com/mtasts/go-mtasts/cache/rediscache v0.0.0
	github.com/valkey-io/valkey-go v1.0.79
	golang.org/x/net v0.62.0
	golang.org/x/sys v0.49.0
)

require (
	github.com/hashicorp/golang-lru/v2 v2.0.7 // indirect
	go.etcd.io/bbolt v1.5.0 // indirect
	golang.org/x/text v0.43.0 // indirect
)

replace (
	github.com/mtasts/go-mtasts => ../..
	github.com/mtasts/go-mtasts/cache/rediscache => ../../cache/rediscache
)
