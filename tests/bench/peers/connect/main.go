// Command connect is Redpanda Connect with the public components that the two pipelines here need.
package main

import (
	"context"
	"net/http"

	"github.com/redpanda-data/benthos/v4/public/service"
	_ "github.com/redpanda-data/connect/v4/public/components/io"
	_ "github.com/redpanda-data/connect/v4/public/components/kafka"
	_ "github.com/redpanda-data/connect/v4/public/components/pure"
)

func main() {
	// No setting of the `http` processor says how many connections it keeps, and Go keeps two to a host: of 256 calls at
	// once, each but two would open a connection of its own.
	http.DefaultTransport.(*http.Transport).MaxIdleConnsPerHost = 1024
	http.DefaultTransport.(*http.Transport).MaxIdleConns = 1024
	service.RunCLI(context.Background())
}
