// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package ui embeds the built page of the console.
package ui

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
)

//go:embed dist
var dist embed.FS

// file is a file of the page, ready to serve.
type file struct {
	plain, compressed []byte
	mediaType, etag   string
}

// Handler returns a handler that serves the page's files by name, and the page itself at /.
func Handler() (http.Handler, error) {
	files := map[string]*file{}
	err := fs.WalkDir(dist, "dist", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		made, err := newFile(name)
		files[strings.TrimPrefix(name, "dist")] = made
		return err
	})
	if err != nil {
		return nil, err
	}
	files["/"] = files["/index.html"]
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f := files[r.URL.Path]; f != nil && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
			f.serve(w, r)
			return
		}
		http.NotFound(w, r)
	}), nil
}

func newFile(name string) (*file, error) {
	text, err := dist.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var compressed bytes.Buffer
	writer, err := gzip.NewWriterLevel(&compressed, gzip.BestCompression)
	if err == nil {
		_, err = writer.Write(text)
	}
	if err == nil {
		err = writer.Close()
	}
	sum := sha256.Sum256(text)
	return &file{plain: text, compressed: compressed.Bytes(), mediaType: mime.TypeByExtension(path.Ext(name)),
		etag: `"` + hex.EncodeToString(sum[:8]) + `"`}, err
}

func (f *file) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", f.mediaType)
	h.Set("Cache-Control", "no-cache") // revalidate each time: the response is short if nothing changed
	h.Set("ETag", f.etag)
	h.Set("Vary", "Accept-Encoding")
	if r.Header.Get("If-None-Match") == f.etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	text := f.plain
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		text = f.compressed
	}
	if r.Method != http.MethodHead {
		_, _ = w.Write(text)
	}
}
