// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package guard rejects what no page of the console sends: requests for other hosts (DNS rebinding), requests from
// other origins, and bodies that are too large. It also tells browsers what the page may not do.
package guard

import (
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Options are the options of Wrap.
type Options struct {
	// Hosts are the host names without ports, in addition to those of this machine, that requests may name.
	Hosts []string
	// Refuse responds to a request that is rejected.
	Refuse func(w http.ResponseWriter, status int, code, message string)
}

// policy lets the page load only its own files and forbids embedding it in a frame.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
	"media-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " +
	"require-trusted-types-for 'script'; trusted-types 'none'"

// writeWait is how long a client may read nothing before it is disconnected.
const writeWait = 30 * time.Second

// Wrap returns a handler that passes valid requests on to next.
func Wrap(next http.Handler, opts Options) (http.Handler, error) {
	origins := http.NewCrossOriginProtection()
	for _, host := range opts.Hosts { // for a proxy that changes the Host header
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		if err := origins.AddTrustedOrigin("https://" + host); err != nil {
			return nil, err
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		setHeaders(w.Header())
		if !allowed(r.Host, opts.Hosts) {
			opts.Refuse(w, http.StatusMisdirectedRequest, "host", "the console does not answer for this host: add it to hosts")
			return
		}
		if err := origins.Check(r); err != nil {
			opts.Refuse(w, http.StatusForbidden, "forbidden", "the request comes from another origin")
			return
		}
		next.ServeHTTP(&patientWriter{ResponseWriter: w, control: http.NewResponseController(w)}, r)
	}), nil
}

func setHeaders(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// allowed reports whether a Host header names this console.
func allowed(host string, hosts []string) bool {
	if name, port, err := net.SplitHostPort(host); err == nil {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return false
		}
		host = name
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() || host == "localhost" {
		return true
	}
	return slices.ContainsFunc(hosts, func(h string) bool { return strings.EqualFold(h, host) })
}

// patientWriter renews the write deadline for each part of a response, so that a stream may take hours as long as the
// client reads.
type patientWriter struct {
	http.ResponseWriter
	control *http.ResponseController
}

func (w *patientWriter) Write(b []byte) (int, error) {
	_ = w.control.SetWriteDeadline(time.Now().Add(writeWait))
	return w.ResponseWriter.Write(b)
}

// Unwrap returns the wrapped writer for http.ResponseController.
func (w *patientWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
