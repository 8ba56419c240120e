// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Command notices prints the copyright file of a package: the licenses of this project, of each Go module linked into
// the programs, of Go itself, of the models, and of parts that are not Go, from a folder of texts.
//
//	go run ./internal/packaging/notices -texts packaging/licenses -text OpenCV=FILE bin/otelcol-anonymizer ...
//
// It fails if a module has no license file, because someone must then determine which license applies.
package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/models"
)

func main() {
	texts := flag.String("texts", "", "folder with the licenses of the parts that are not Go, one `.txt` file per part")
	single := map[string]string{}
	flag.Func("text", "`NAME=FILE`, the license of an additional part", func(value string) error {
		name, path, ok := strings.Cut(value, "=")
		if !ok {
			return errors.New("write NAME=FILE")
		}
		single[name] = path
		return nil
	})
	flag.Parse()
	if err := write(context.Background(), os.Stdout, flag.Args(), *texts, single); err != nil {
		fmt.Fprintln(os.Stderr, "notices:", err)
		os.Exit(1)
	}
}

// part is something that has a license.
type part struct {
	name  string
	texts []string
}

const header = `otelcol-anonymizer
Copyright: The otelcol-anonymizer Authors
License: Apache-2.0, see /usr/share/common-licenses/Apache-2.0

The package also contains the following components, each under its own license.
`

func write(ctx context.Context, to io.Writer, programs []string, texts string, single map[string]string) error {
	linked, err := linkedModules(ctx, programs)
	if err != nil {
		return err
	}
	others, err := otherParts(texts, single)
	if err != nil {
		return err
	}
	list, err := modelList()
	if err != nil {
		return err
	}
	if _, err := io.WriteString(to, header+list); err != nil {
		return err
	}
	return writeTexts(to, append(others, linked...))
}

// writeTexts writes each text once, preceded by the names of all parts that it applies to.
func writeTexts(to io.Writer, parts []part) error {
	names := map[string][]string{}
	var texts []string // in the order of the parts
	for _, p := range parts {
		for _, text := range p.texts {
			if names[text] == nil {
				texts = append(texts, text)
			}
			names[text] = append(names[text], p.name)
		}
	}
	for _, text := range texts {
		if _, err := fmt.Fprintf(to, "\n%s\n%s\n\n%s\n", strings.Repeat("=", 80), strings.Join(names[text], "\n"),
			text); err != nil {
			return err
		}
	}
	return nil
}

// modelList lists the models and their licenses. All packaged models are under the Apache license.
func modelList() (string, error) {
	catalog, err := models.Load()
	if err != nil {
		return "", err
	}
	var list strings.Builder
	list.WriteString("\nModels, which were converted to ONNX:\n")
	for _, m := range catalog.Models {
		if m.Default {
			fmt.Fprintf(&list, "  %s: %s, %s\n", m.Name, m.License, m.Upstream)
		}
	}
	return list.String(), nil
}

// otherParts returns the parts that are not Go modules, sorted by name.
func otherParts(folder string, single map[string]string) ([]part, error) {
	paths, err := filepath.Glob(filepath.Join(folder, "*.txt"))
	if err != nil || len(paths) == 0 {
		return nil, errors.Join(err, fmt.Errorf("there are no texts in %q", folder))
	}
	files := maps.Clone(single)
	for _, path := range paths {
		files[strings.TrimSuffix(filepath.Base(path), ".txt")] = path
	}
	files["Go"] = filepath.Join(runtime.GOROOT(), "LICENSE") //nolint:staticcheck // where this program was compiled
	var parts []part
	for _, name := range slices.Sorted(maps.Keys(files)) {
		text, err := os.ReadFile(files[name])
		if err != nil {
			return nil, err
		}
		parts = append(parts, part{name, []string{tidy(text)}})
	}
	return parts, nil
}

// linkedModules returns the third-party Go modules linked into the programs.
func linkedModules(ctx context.Context, programs []string) ([]part, error) {
	wanted := map[string]bool{}
	for _, path := range programs {
		info, err := buildinfo.ReadFile(path)
		if err != nil {
			return nil, err
		}
		for _, m := range info.Deps {
			if m = cmp.Or(m.Replace, m); !strings.HasPrefix(m.Path, ".") {
				wanted[m.Path+"@"+m.Version] = true
			}
		}
	}
	folders, err := moduleFolders(ctx, slices.Sorted(maps.Keys(wanted)))
	if err != nil {
		return nil, err
	}
	var parts []part
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(folders)) {
		found, err := licenses(folders[name])
		if err == nil && len(found) == 0 {
			err = errors.New("it has no license file")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
		parts = append(parts, part{name, found})
	}
	return parts, errors.Join(errs...)
}

// moduleFolders returns the folders in which the go command keeps modules, by path@version.
func moduleFolders(ctx context.Context, modules []string) (map[string]string, error) {
	command := exec.CommandContext(ctx, "go", append([]string{"mod", "download", "-json"}, modules...)...)
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("go mod download: %w", err)
	}
	folders := map[string]string{}
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var m struct{ Path, Version, Dir string }
		if err := decoder.Decode(&m); errors.Is(err, io.EOF) {
			return folders, nil
		} else if err != nil {
			return nil, fmt.Errorf("go mod download: %w", err)
		}
		folders[m.Path+"@"+m.Version] = m.Dir
	}
}

var licenseName = regexp.MustCompile(`(?i)^(licen[sc]e|copying|notice|unlicense|patents)([.-].*)?$`)

// licenses returns the texts of all license files in a module, since parts of it may have their own, each text once.
func licenses(folder string) (texts []string, err error) {
	seen := map[[sha256.Size]byte]bool{}
	err = filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && entry.Name() == "testdata":
			return fs.SkipDir
		case !entry.Type().IsRegular() || !licenseName.MatchString(entry.Name()) || filepath.Ext(path) == ".go":
			return nil
		}
		text, err := os.ReadFile(path)
		if sum := sha256.Sum256(text); !seen[sum] {
			seen[sum] = true
			texts = append(texts, tidy(text))
		}
		return err
	})
	return texts, err
}

var (
	apache = regexp.MustCompile(`(?s)Apache License\s+(?:Version 2\.0, January 2004\s+)?` +
		`https?://www\.apache\.org/licenses/\s+` +
		`TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION.*?(?:END OF TERMS AND CONDITIONS|\z)`)
	apacheFile = "Apache License, Version 2.0: see /usr/share/common-licenses/Apache-2.0"
)

// tidy replaces the terms of the Apache license, which most parts have, with a reference to Debian's copy.
func tidy(text []byte) string {
	valid := strings.ReplaceAll(strings.ToValidUTF8(string(text), "?"), "\r\n", "\n")
	return strings.TrimSpace(apache.ReplaceAllLiteralString(valid, apacheFile))
}
