// A program that can serve TLS, for the test of the locator.
package main

import (
	"crypto/tls"
	"net/http"
	"os"
)

func main() {
	server := &http.Server{Addr: os.Args[1], TLSConfig: &tls.Config{}}
	panic(server.ListenAndServeTLS(os.Args[2], os.Args[3]))
}
