// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

// names chooses the outputs' names and reserves them, so that no two jobs write to the same name. No file has a name
// when it is reserved; whether that is still so is checked again when the output is published.
type names struct {
	directory  string // of the outputs: absolute, without symbolic links
	configured string // the same: absolute, as configured
	outputName func(rel string) string
	companions func(output string) []string // nil if there are none

	mu       sync.Mutex
	reserved map[string]bool
}

func newNames(directory string, opts *Options) *names {
	configured, err := filepath.Abs(opts.OutputDirectory)
	if err != nil {
		configured = opts.OutputDirectory
	}
	return &names{
		directory: directory, configured: configured, outputName: opts.OutputName, companions: opts.Companions,
		reserved: map[string]bool{},
	}
}

const (
	// maxName is NAME_MAX of nearly all file systems, in bytes.
	maxName = 255
	// maxNumber limits the numbers that are tried if a name is taken.
	maxNumber = 9999
	// numberLength is the room that a shortened name leaves for such a number.
	numberLength = len("-9999")
)

// reserve returns a path for the output that no file and no other job has: the one that OutputName returns, or the same
// with a number.
func (n *names) reserve(rel string) (string, error) {
	output, err := n.outputPath(rel)
	if err != nil {
		return "", err
	}
	for number := 1; number <= maxNumber; number++ {
		candidate := numbered(output, number)
		if !n.tryReserve(candidate) {
			continue
		}
		// A mark that outlived its output would seem to refer to this one.
		taken, err := anyExists(append(n.all(candidate), supersededPath(candidate)))
		if err == nil && !taken {
			return candidate, nil
		}
		n.release(candidate)
		if err != nil {
			return "", fmt.Errorf("output name: %w", err)
		}
	}
	return "", fmt.Errorf("output name: %s and %d numbered names are taken: empty the folder", output, maxNumber-1)
}

// tryReserve reserves an output's names unless a job has one of them.
func (n *names) tryReserve(output string) bool {
	all := n.all(output)
	n.mu.Lock()
	defer n.mu.Unlock()
	if slices.ContainsFunc(all, func(name string) bool { return n.reserved[name] }) {
		return false
	}
	for _, name := range all {
		n.reserved[name] = true
	}
	return true
}

// release frees an output's names for other jobs.
func (n *names) release(output string) {
	all := n.all(output)
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, name := range all {
		delete(n.reserved, name)
	}
}

func (n *names) isReserved(path string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.reserved[path]
}

// all returns the names that an output takes: its own, and those of its companion files.
func (n *names) all(output string) []string {
	all := []string{output}
	if n.companions != nil {
		all = append(all, n.companions(output)...)
	}
	return all
}

// outputPath calls OutputName, with the source's name shortened until the output's names are short enough for the file
// system.
func (n *names) outputPath(rel string) (string, error) {
	short := rel
	for {
		output := n.outputName(short)
		if !filepath.IsAbs(output) {
			output = filepath.Join(n.directory, output)
		} else if below, err := filepath.Rel(n.configured, output); err == nil {
			output = filepath.Join(n.directory, below)
		}
		if output == n.directory || !within(output, n.directory) {
			return "", fmt.Errorf("output name: %s is outside of the output directory %s", output, n.directory)
		}
		excess := -maxName
		for _, name := range n.all(output) {
			excess = max(excess, len(filepath.Base(name))-maxName)
		}
		if excess <= 0 {
			return output, nil
		}
		var ok bool
		if short, ok = shorten(short, excess+numberLength); !ok {
			return "", fmt.Errorf("output name: %s is too long: shorten the video's name", output)
		}
	}
}

// shorten cuts at least cut bytes off the end of a name's stem, without splitting a character. It reports whether
// anything is left.
func shorten(rel string, cut int) (string, bool) {
	dir, name := path.Split(rel)
	ext := path.Ext(name)
	stem := strings.TrimSuffix(name, ext)
	keep := len(stem) - cut
	if keep < 1 {
		return "", false
	}
	for keep > 1 && !utf8.RuneStart(stem[keep]) {
		keep--
	}
	return dir + stem[:keep] + ext, true
}

func anyExists(paths []string) (bool, error) {
	for _, path := range paths {
		if there, err := exists(path); there || err != nil {
			return there, err
		}
	}
	return false, nil
}

// numbered inserts -2, -3, ... before the extension; 1 leaves the name as it is.
func numbered(path string, n int) string {
	if n == 1 {
		return path
	}
	ext := filepath.Ext(path)
	return fmt.Sprintf("%s-%d%s", strings.TrimSuffix(path, ext), n, ext)
}

// The names of all our temporary files start with tempPrefix. In those of tempPath, a random token of tokenLength
// hexadecimal digits follows.
const (
	tempPrefix  = ".anonymizing-"
	tokenLength = 16
)

// tempPath returns a new hidden path in the output's folder. It is short, whatever the output's name, and has the
// output's extension, from which ffmpeg infers the container.
func tempPath(output string) string {
	token := make([]byte, tokenLength/2)
	_, _ = rand.Read(token) // never fails
	return filepath.Join(filepath.Dir(output), tempPrefix+hex.EncodeToString(token)+tempExt(output))
}

func tempExt(output string) string {
	if ext := filepath.Ext(output); len(ext) <= 16 {
		return ext
	}
	return ""
}

// suits reports whether an earlier attempt's temporary path can be used for an output: it has the same folder and
// extension.
func suits(temp, output string) bool {
	return temp != "" && filepath.Dir(temp) == filepath.Dir(output) && filepath.Ext(temp) == tempExt(output)
}

// removeTemps removes the file or folder at temp, and those whose names start like it, up to the extension.
func removeTemps(temp string) error {
	directory, name, err := splitTemp(temp)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(directory)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var errs []error
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), name) {
			errs = append(errs, os.RemoveAll(filepath.Join(directory, entry.Name())))
		}
	}
	return errors.Join(errs...)
}

// removeListed is removeTemps for names that are all known, so that it does not have to read the folder.
func removeListed(temp string, others []string) error {
	if _, _, err := splitTemp(temp); err != nil {
		return err
	}
	errs := []error{os.RemoveAll(temp)}
	for _, other := range others {
		errs = append(errs, os.RemoveAll(other))
	}
	return errors.Join(errs...)
}

// splitTemp returns the folder of a temporary path, and the start of the names of its files.
func splitTemp(temp string) (directory, start string, err error) {
	directory, name := filepath.Split(temp)
	if !strings.HasPrefix(name, tempPrefix) || len(name) < len(tempPrefix)+tokenLength {
		return "", "", fmt.Errorf("%s is not the name of one of our temporary files", temp)
	}
	return directory, name[:len(tempPrefix)+tokenLength], nil
}
