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

// damagedSuffix, followed by the time in UTC, is appended to the name of a damaged journal that is kept.
const damagedSuffix = ".damaged-"

// keepDamaged gives a damaged journal a second name, which survives the compaction that follows. Until then, the
// journal also keeps its own name, so that it is found again if the start fails in between.
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

// copyNew durably copies a file to a name that must be free.
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

// readRecords calls apply for each record that it can read, and returns the number of damaged lines: lines that are not
// records, including a torn last line, and lines with NUL bytes, even if a whole record remains in them.
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
