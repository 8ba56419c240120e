// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
)

// damagedSuffix, followed by the time in UTC, is appended to the name of a damaged journal that is kept aside.
const damagedSuffix = ".damaged-"

// keepDamaged gives a damaged journal a second name, which outlasts the compaction that follows. The journal keeps its
// own until then, so that a start that fails in between finds it again.
func keepDamaged(path string, at time.Time) (kept string, err error) {
	stamped := path + damagedSuffix + at.UTC().Format("20060102T150405Z")
	for n := 1; n <= maxNumber; n++ {
		if kept = stamped; n > 1 {
			kept = fmt.Sprintf("%s-%d", stamped, n)
		}
		if err = os.Link(path, kept); err != nil && !errors.Is(err, fs.ErrExist) {
			err = copyNew(path, kept) // FAT and some network file systems have no links
		}
		if !errors.Is(err, fs.ErrExist) {
			return kept, err
		}
	}
	return "", err
}

// copyNew copies a file durably to a name that must be free.
func copyNew(path, to string) (err error) {
	from, err := durable.Open(path, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer from.Close()
	copied, err := durable.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(copied, from)
	return errors.Join(err, durable.Sync(copied), copied.Close())
}

// readRecords calls apply for each record that it can read, and counts the lines that are damaged: those that are no
// records, a torn last one included, and those with NUL bytes, of which a whole record may remain.
func readRecords(from io.Reader, apply func(record)) (damaged int, err error) {
	lines := bufio.NewReader(from)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return damaged, err
		}
		text := bytes.Trim(line, "\x00\r\n\t ")
		var rec record
		parsed := json.Unmarshal(text, &rec) == nil
		if parsed {
			apply(rec)
		}
		if len(text) > 0 && !parsed || bytes.IndexByte(line, 0) >= 0 {
			damaged++
		}
		if err != nil {
			return damaged, nil
		}
	}
}
