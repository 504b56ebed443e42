// A reverse proxy of TLS, made of Go's standard library and nothing else, with an access log of JSON lines.
//
// Usage: proxy LISTEN BACKEND CERTIFICATE KEY 1.2|1.3 LOG
// The path /own is answered by itself, with 404. SIGTERM ends it in order: what has begun is served and logged first.
package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// A line of the log; its keys are those that the harness reads of every server.
type line struct {
	Method    string `json:"method"`
	URI       string `json:"uri"`
	Status    int    `json:"status"`
	BodyBytes *int64 `json:"body_bytes"`
	RequestID string `json:"request_id"`
}

// Counts what is answered.
type counted struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (answer *counted) WriteHeader(status int) {
	// An interim answer is not the one that is logged.
	if status >= 200 {
		answer.status = status
	}
	answer.ResponseWriter.WriteHeader(status)
}

func (answer *counted) Write(bytes []byte) (int, error) {
	if answer.status == 0 {
		answer.status = http.StatusOK
	}
	written, err := answer.ResponseWriter.Write(bytes)
	answer.bytes += int64(written)
	return written, err
}

// Flushing and the like are asked of what is behind.
func (answer *counted) Unwrap() http.ResponseWriter { return answer.ResponseWriter }

func logged(handler http.Handler, to io.Writer) http.Handler {
	var lock sync.Mutex
	return http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		entry := line{Method: request.Method, URI: request.RequestURI, RequestID: request.Header.Get("X-Request-Id")}
		counting := &counted{ResponseWriter: answer}
		// Deferred: where the client has gone, the proxy ends by panicking (http.ErrAbortHandler). curl goes by
		// Content-Length, and is gone before a stream has ended.
		defer func() {
			aborted := recover()
			entry.Status = counting.status
			// A write that failed does not say what of it was sent.
			if aborted == nil {
				entry.BodyBytes = &counting.bytes
			}
			text, err := json.Marshal(entry)
			if err != nil {
				log.Fatal(err)
			}
			lock.Lock()
			defer lock.Unlock()
			if _, err := to.Write(append(text, '\n')); err != nil {
				log.Fatal(err)
			}
			if aborted != nil {
				panic(aborted)
			}
		}()
		handler.ServeHTTP(counting, request)
	})
}

func main() {
	if len(os.Args) != 7 {
		log.Fatal("usage: proxy LISTEN BACKEND CERTIFICATE KEY 1.2|1.3 LOG")
	}
	backend := &url.URL{Scheme: "http", Host: os.Args[2]}
	file, err := os.OpenFile(os.Args[6], os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		log.Fatal(err)
	}
	version := map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}[os.Args[5]]
	proxy := &httputil.ReverseProxy{Rewrite: func(request *httputil.ProxyRequest) {
		request.SetURL(backend)
		request.Out.Host = request.In.Host
		request.SetXForwarded()
	}}
	routes := http.NewServeMux()
	routes.Handle("/", proxy)
	routes.HandleFunc("/own", func(answer http.ResponseWriter, _ *http.Request) {
		http.Error(answer, "not here", http.StatusNotFound)
	})
	server := &http.Server{
		Addr:      os.Args[1],
		Handler:   logged(routes, file),
		TLSConfig: &tls.Config{MinVersion: version, MaxVersion: version},
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM)
	ended := make(chan error)
	go func() {
		<-asked
		limit, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		ended <- server.Shutdown(limit)
	}()
	if err := server.ListenAndServeTLS(os.Args[3], os.Args[4]); err != http.ErrServerClosed {
		log.Fatal(err)
	}
	if err := <-ended; err != nil {
		log.Fatal(err)
	}
}
