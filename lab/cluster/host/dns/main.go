// Dns answers for the names of services (CoreDNS with the few plugins that a lab needs).
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/kubernetes"
)

func main() {
	// The order in which a question passes through them.
	dnsserver.Directives = []string{"errors", "cache", "kubernetes"}
	coremain.Run()
}
