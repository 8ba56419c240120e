// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
)

// The folders of the console in the state directory.
const (
	reviewsFolder = "reviews"
	proxiesFolder = "proxies"
	rendersFolder = "renders"
)

// VideoID returns the ID of a video, which telemetry uses, too. pseudonym replaces the names in a text, or leaves them.
func VideoID(receiver, path string, pseudonym func(text string, paths ...string) string) consoleapi.VideoID {
	sum := sha256.Sum256([]byte(receiver + "\x00" + pseudonym(path, path)))
	return consoleapi.VideoID(hex.EncodeToString(sum[:12]))
}

// FilesAbout returns the files in the console's directory that are about a video: the reviews of outputs, by their
// names, which are paths below the output directory; the proxies of the outputs at the paths; and what is to be
// rendered.
func FilesAbout(directory string, ids []consoleapi.VideoID, names, paths []string) ([]string, error) {
	var files []string
	reviews, _ := filepath.Glob(filepath.Join(escaped(directory), reviewsFolder, "*.json"))
	var errs []error
	for _, path := range reviews {
		text, err := durable.ReadFile(path)
		var r review
		if err == nil {
			err = json.Unmarshal(text, &r)
		}
		if err != nil {
			errs = append(errs, err)
		} else if slices.Contains(names, r.Output) {
			files = append(files, path)
		}
	}
	for _, path := range paths {
		if proxy, err := proxyPath(filepath.Join(directory, proxiesFolder), path); err == nil {
			files = append(files, proxy)
		}
	}
	for _, id := range ids {
		files = append(files, filepath.Join(directory, rendersFolder, string(id)+".json"))
	}
	files = slices.DeleteFunc(files, func(path string) bool {
		_, err := os.Lstat(path)
		return err != nil
	})
	return files, errors.Join(errs...)
}

// escaped returns a pattern that matches only the path.
func escaped(path string) string {
	var pattern []byte
	for _, c := range []byte(path) {
		if c == '*' || c == '?' || c == '[' || c == '\\' {
			pattern = append(pattern, '\\')
		}
		pattern = append(pattern, c)
	}
	return string(pattern)
}
