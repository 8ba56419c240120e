// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import "os"

// The rest of this file is for outputs that no job made: corrected versions of an output.

// NewTemp returns a new hidden path next to an output, like Job.Temp. RemoveTemps removes the files there.
func NewTemp(output string) string { return tempPath(output) }

// RemoveTemps removes everything whose name starts like a path from NewTemp, up to the extension.
func RemoveTemps(temp string) error { return removeTemps(temp) }

// RenameNew renames a file durably, without replacing another: it fails with fs.ErrExist if the name is taken.
func RenameNew(from, to string) error { return renameDurably(from, to) }

// Describe returns the path, size and digest of a complete file, by which Output.Intact recognizes it.
func Describe(path string) (Output, error) {
	sum, size, err := digestPath(path)
	return Output{Path: path, Name: path, Size: size, Digest: sum}, err
}

// Own records that the complete file at temp will be at path, so that it never counts as a source.
func (w *Watcher) Own(temp, path string) error { return recordMark(w.journal, temp, path) }

// FileMode returns the mode of outputs and the files next to them.
func (w *Watcher) FileMode() os.FileMode { return w.opts.FileMode }
