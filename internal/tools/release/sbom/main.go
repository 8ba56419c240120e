// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Command sbom extends the list of Go modules that cyclonedx-gomod produces for a program with the npm packages of the
// console's page, the models, ONNX Runtime, OpenCV, and the system packages that the program needs.
//
//	sbom -version v1.0.0 -epoch 1767225600 -root DIR -opencv 4.6.0 -depends "libc6 (>= 2.36), ..." bom.json... >out.json
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"go.yaml.in/yaml/v3"
)

func main() {
	var o options
	flag.StringVar(&o.version, "version", "", "version of the release")
	flag.Int64Var(&o.epoch, "epoch", 0, "timestamp of the list, in seconds since 1970")
	flag.StringVar(&o.root, "root", ".", "the repository")
	flag.StringVar(&o.openCV, "opencv", "", "the version of OpenCV that is linked in")
	flag.StringVar(&o.depends, "depends", "", "the dependencies of the Debian package")
	flag.Parse()
	if err := o.write(os.Stdout, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

type options struct {
	version, root, openCV, depends string
	epoch                          int64
}

func (o options) write(to io.Writer, lists []string) error {
	if o.version == "" || o.openCV == "" || o.depends == "" || len(lists) == 0 {
		return errors.New("-version, -opencv, -depends and a list of Go modules are required")
	}
	var components []cdx.Component
	var errs []error
	for _, add := range []func() ([]cdx.Component, error){
		func() ([]cdx.Component, error) { return goModules(lists) },
		func() ([]cdx.Component, error) { return npmPackages(o.root) },
		func() ([]cdx.Component, error) { return models(o.root) },
		func() ([]cdx.Component, error) { return o.systemPackages(), nil },
	} {
		found, err := add()
		components, errs = append(components, found...), append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{
		Timestamp: time.Unix(o.epoch, 0).UTC().Format(time.RFC3339),
		Component: &cdx.Component{
			BOMRef: "otelcol-anonymizer", Type: cdx.ComponentTypeApplication, Name: "otelcol-anonymizer", Version: o.version,
			Licenses: license("Apache-2.0"),
		},
	}
	bom.Components = &components
	return cdx.NewBOMEncoder(to, cdx.BOMFileFormatJSON).SetPretty(true).Encode(bom)
}

// goModules returns the modules of all lists, each once.
func goModules(paths []string) ([]cdx.Component, error) {
	var all []cdx.Component
	for _, path := range paths {
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		var bom cdx.BOM
		err = errors.Join(cdx.NewBOMDecoder(file, cdx.BOMFileFormatJSON).Decode(&bom), file.Close())
		if err == nil && (bom.Components == nil || len(*bom.Components) == 0) {
			err = errors.New("it lists nothing")
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		all = append(all, *bom.Components...)
	}
	// Modules of this project, which are listed by folder, are the program itself.
	all = slices.DeleteFunc(all, func(c cdx.Component) bool { return strings.HasPrefix(c.Name, ".") })
	return unique(all), nil
}

func unique(all []cdx.Component) []cdx.Component {
	slices.SortStableFunc(all, func(a, b cdx.Component) int {
		return strings.Compare(a.Name+"@"+a.Version, b.Name+"@"+b.Version)
	})
	return slices.CompactFunc(all, func(a, b cdx.Component) bool { return a.Name == b.Name && a.Version == b.Version })
}

// onPage are the npm packages whose code is in the console's page. The other packages in the lock file are needed only
// to build it.
var onPage = []string{"preact", "@preact/signals", "@preact/signals-core", "uplot"}

func npmPackages(root string) ([]cdx.Component, error) {
	const lock = "extension/anonymizerconsole/ui/package-lock.json"
	text, err := os.ReadFile(filepath.Join(root, lock))
	if err != nil {
		return nil, err
	}
	var locked struct {
		Packages map[string]struct{ Version, License string }
	}
	if err := json.Unmarshal(text, &locked); err != nil {
		return nil, fmt.Errorf("%s: %w", lock, err)
	}
	var found []cdx.Component
	for _, name := range onPage {
		p, ok := locked.Packages["node_modules/"+name]
		if !ok {
			return nil, fmt.Errorf("%s: %s is missing: correct the list in this program", lock, name)
		}
		url := fmt.Sprintf("pkg:npm/%s@%s", strings.Replace(name, "@", "%40", 1), p.Version)
		found = append(found, cdx.Component{BOMRef: url, Type: cdx.ComponentTypeLibrary, Name: name, Version: p.Version,
			PackageURL: url, Licenses: license(p.License)})
	}
	return found, nil
}

// models returns the default models of the catalog and the library that runs them.
func models(root string) ([]cdx.Component, error) {
	text, err := os.ReadFile(filepath.Join(root, "models/catalog.yaml"))
	if err != nil {
		return nil, err
	}
	var catalog struct {
		Runtime struct {
			Name, Version, License, Package string
			Libraries                       []struct{ Platform, SHA256 string }
		}
		Models []struct {
			Name, License, Upstream, SHA256, Description string
			Default                                      bool
			Source                                       struct{ Package string }
		}
	}
	if err := yaml.Unmarshal(text, &catalog); err != nil {
		return nil, fmt.Errorf("catalog.yaml: %w", err)
	}
	runtime := catalog.Runtime
	var found []cdx.Component
	for _, library := range runtime.Libraries {
		found = append(found, cdx.Component{
			BOMRef: runtime.Name + "/" + library.Platform, Type: cdx.ComponentTypeLibrary, Name: runtime.Name,
			Version: runtime.Version, Description: "for " + library.Platform, PackageURL: "pkg:npm/" + runtime.Package,
			Licenses: license(runtime.License), Hashes: sha256(library.SHA256),
		})
	}
	for _, m := range catalog.Models {
		if !m.Default {
			continue
		}
		found = append(found, cdx.Component{
			BOMRef: "model/" + m.Name, Type: cdx.ComponentTypeMachineLearningModel, Name: m.Name,
			Description: strings.TrimSpace(m.Description), Licenses: license(m.License), Hashes: sha256(m.SHA256),
			ExternalReferences: &[]cdx.ExternalReference{{Type: cdx.ERTypeWebsite, URL: m.Upstream}},
		})
	}
	if len(found) < 2 {
		return nil, errors.New("catalog.yaml: it lists no default model and no runtime")
	}
	return found, nil
}

var dependency = regexp.MustCompile(`^([a-z0-9.+-]+)(?:\s*\(([^)]*)\))?`)

// systemPackages returns OpenCV, which is linked in, and the dependencies of the package, whose versions the system
// chooses.
func (o options) systemPackages() []cdx.Component {
	url := "pkg:deb/debian/opencv@" + o.openCV
	found := []cdx.Component{{
		BOMRef: url, Type: cdx.ComponentTypeLibrary, Name: "opencv", Version: o.openCV, PackageURL: url,
		Description: "core and imgproc, linked in", Licenses: license("Apache-2.0"),
	}}
	for _, alternatives := range strings.Split(o.depends, ",") {
		first, _, _ := strings.Cut(strings.TrimSpace(alternatives), "|")
		if m := dependency.FindStringSubmatch(strings.TrimSpace(first)); m != nil {
			found = append(found, cdx.Component{
				BOMRef: "debian/" + m[1], Type: cdx.ComponentTypeLibrary, Name: m[1], PackageURL: "pkg:deb/debian/" + m[1],
				Scope: cdx.ScopeRequired, Description: strings.TrimSpace("a package of the system " + m[2]),
			})
		}
	}
	return found
}

// license is an SPDX expression.
func license(expression string) *cdx.Licenses { return &cdx.Licenses{{Expression: expression}} }

func sha256(sum string) *[]cdx.Hash {
	return &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: sum}}
}
