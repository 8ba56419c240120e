// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
	"golang.org/x/sys/unix"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
)

// found is a file that the patterns include.
type found struct {
	path  string // absolute, without symbolic links
	rel   string // below the pattern's folder
	mode  uint32 // S_IFMT bits
	stamp stamp
	// held says why the file must not be picked up, although the patterns include it; empty if it may be.
	held heldReason
}

// scanner walks the folders that the include patterns name. It must not be used concurrently.
type scanner struct {
	roots   []root
	exclude []exclusion
	// skip holds the folders that are entered only if they are roots themselves: absolute, without symbolic links.
	skip map[string]bool
	// only, if not nil, holds the paths of the files that are included.
	only map[string]bool
	// entered is called with each folder that is read, unreadable with each that cannot be read.
	entered    func(directory string)
	unreadable func(directory string, err error)
	stat       unix.Stat_t // reused by lstatAt
}

// root is a folder to walk, and the patterns for the paths below it.
type root struct {
	// base is the part of the patterns before their first wildcard, absolute.
	base     string
	patterns []pattern
	// literal means that none of the operator's patterns has a wildcard.
	literal bool
	// pictures means that pictures are picked up like videos.
	pictures bool
}

// pattern is relative to a root: as a whole, and split at its slashes.
type pattern struct {
	whole string
	names []string
}

type exclusion struct {
	base    string // if empty, the pattern applies to the file's name alone
	pattern string
}

func newScanner(config Config) (*scanner, error) {
	s := &scanner{skip: map[string]bool{}}
	for _, glob := range config.Include {
		base, rest, err := splitPattern(glob)
		if err != nil {
			return nil, fmt.Errorf("include: %w", err)
		}
		i := slices.IndexFunc(s.roots, func(r root) bool { return r.base == base })
		if i < 0 {
			i = len(s.roots)
			s.roots = append(s.roots, root{base: base, literal: true, pictures: config.Pictures})
		}
		r := &s.roots[i]
		r.literal = r.literal && isLiteral(rest)
		for _, p := range expand(rest, config.Recursive) {
			r.patterns = append(r.patterns, pattern{whole: p, names: strings.Split(p, "/")})
		}
	}
	for _, glob := range config.Exclude {
		if !strings.Contains(glob, "/") {
			s.exclude = append(s.exclude, exclusion{pattern: glob})
			continue
		}
		base, rest, err := splitPattern(glob)
		if err != nil {
			return nil, fmt.Errorf("exclude: %w", err)
		}
		s.exclude = append(s.exclude, exclusion{base: base, pattern: rest})
	}
	return s, nil
}

// splitPattern returns the folder before the first wildcard, as an absolute path, and the pattern below it.
func splitPattern(glob string) (base, rest string, err error) {
	base, rest = doublestar.SplitPattern(glob)
	base, err = filepath.Abs(base)
	if rest = strings.Trim(path.Clean(rest), "/"); rest == "." || rest == "" {
		rest = "*" // the pattern ended in a slash
	}
	return base, rest, err
}

func isLiteral(glob string) bool { return !strings.ContainsAny(glob, `*?[{`) }

// expand returns the patterns that one of the operator's patterns stands for.
func expand(rest string, recursive bool) []string {
	deep := func(p string) string {
		if !recursive {
			return p
		}
		dir, last := path.Split(p)
		return dir + "**/" + last
	}
	if isLiteral(rest) { // a file, or a folder
		return []string{rest, deep(rest + "/*")}
	}
	return []string{deep(rest)}
}

// scan appends the files that are included and not excluded, whether regular or not, held or not. It appends some more
// than once if patterns overlap.
func (s *scanner) scan(seen []found) []found {
	for i := range s.roots {
		r := &s.roots[i]
		base, err := filepath.EvalSymlinks(r.base)
		if err != nil {
			s.unreadable(r.base, err)
			continue
		}
		s.walk(r, base, "", func(f found) { seen = append(seen, f) })
	}
	if len(s.roots) == 1 {
		return seen
	}
	// A file that one root's patterns hold may be included by another root's patterns, if they name its extension.
	included := map[string]bool{}
	for _, f := range seen {
		if f.held == "" {
			included[f.path] = true
		}
	}
	return slices.DeleteFunc(seen, func(f found) bool { return f.held != "" && included[f.path] })
}

func (s *scanner) walk(r *root, base, rel string, visit func(found)) {
	directory := filepath.Join(base, rel)
	folder, err := os.OpenFile(directory, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		s.unreadable(directory, err)
		return
	}
	defer folder.Close()
	entries, err := folder.ReadDir(-1)
	if err != nil {
		s.unreadable(directory, err)
		return
	}
	s.entered(directory)
	partial := partialFiles(entries)
	for _, entry := range entries {
		name := entry.Name()
		if ignoredName(name) {
			continue
		}
		below := name
		if rel != "" {
			below = rel + "/" + name
		}
		if entry.IsDir() {
			if !partialName(name) && r.mayMatchBelow(below) && !s.skip[directory+"/"+name] {
				s.walk(r, base, below, visit)
			}
			continue
		}
		if !r.matches(below) || s.excluded(r, below) {
			continue
		}
		if s.only != nil && !s.only[directory+"/"+name] {
			continue
		}
		f := found{path: directory + "/" + name, rel: below, held: r.held(below, partial[name])}
		f.stamp, f.mode, err = s.lstatAt(folder, name)
		switch {
		case errors.Is(err, fs.ErrNotExist) || f.mode == unix.S_IFDIR:
			continue
		case err != nil:
			f.mode, f.held = unix.S_IFREG, heldReason("its state cannot be read: "+err.Error())
		}
		visit(f)
	}
}

// held returns why a file that the patterns include must not be picked up; empty if it may be. partial is the name of
// its partial file, empty for none.
func (r *root) held(rel, partial string) heldReason {
	switch {
	case partialName(rel):
		return heldPartial
	case partial != "":
		return heldReason(fmt.Sprintf("%s is next to it, as if it were still being downloaded or copied: "+
			"delete that file if it is a leftover", partial))
	case strings.HasSuffix(strings.ToLower(rel), sheetSuffix):
		return heldSheet
	case r.namesExtension(rel):
		return ""
	}
	return heldByKind(rel, r.pictures)
}

// namesExtension reports whether a pattern includes the file, but would not if its extension were different: this holds
// for *.wav, but not for *.
func (r *root) namesExtension(rel string) bool {
	other := strings.TrimSuffix(rel, path.Ext(rel)) + unlikelyExt
	return slices.ContainsFunc(r.patterns, func(p pattern) bool {
		matches, _ := doublestar.Match(p.whole, rel)
		matchesOther, _ := doublestar.Match(p.whole, other)
		return matches && !matchesOther
	})
}

// unlikelyExt is an extension that no pattern names.
const unlikelyExt = ".\x01"

// lstatAt is lstat for a name in an open folder, which saves resolving the path.
func (s *scanner) lstatAt(folder *os.File, name string) (stamp, uint32, error) {
	err := unix.Fstatat(int(folder.Fd()), name, &s.stat, unix.AT_SYMLINK_NOFOLLOW)
	return durable.StampOf(&s.stat), s.stat.Mode & unix.S_IFMT, err
}

func (r *root) matches(rel string) bool {
	return slices.ContainsFunc(r.patterns, func(p pattern) bool {
		ok, _ := doublestar.Match(p.whole, rel)
		return ok
	})
}

// mayMatchBelow reports whether a pattern can match anything in the folder.
func (r *root) mayMatchBelow(folder string) bool {
	names := strings.Split(folder, "/")
	return slices.ContainsFunc(r.patterns, func(p pattern) bool {
		for i, name := range names {
			if p.names[i] == "**" {
				return true
			}
			if ok, _ := doublestar.Match(p.names[i], name); !ok || i == len(p.names)-1 {
				return false
			}
		}
		return true
	})
}

func (s *scanner) excluded(r *root, rel string) bool {
	return slices.ContainsFunc(s.exclude, func(e exclusion) bool {
		name := path.Base(rel)
		if e.base != "" {
			var ok bool
			if name, ok = strings.CutPrefix(path.Join(r.base, rel), strings.TrimSuffix(e.base, "/")+"/"); !ok {
				return false
			}
		}
		ok, _ := doublestar.Match(e.pattern, name)
		return ok
	})
}

// within reports whether path is the folder itself or below it. Both are absolute and clean.
func within(path, folder string) bool {
	rel, err := filepath.Rel(folder, path)
	return err == nil && filepath.IsLocal(rel)
}
