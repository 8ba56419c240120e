// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
)

// tracks matches the track numbers in the line of a frame. The line has no other key of that name.
var tracks = regexp.MustCompile(`"track":[0-9]+`)

// Append adds the frames of a part, which another recorder sealed at temp, after the frames so far. number maps the
// part's track numbers to those of the video. It is called in the order of the lines.
func (r *Recorder) Append(temp string, p Progress, number func(track int) int) error {
	if err := r.appendPart(temp, p, number); err != nil {
		return fmt.Errorf("report: %s: %w", temp, err)
	}
	return nil
}

func (r *Recorder) appendPart(temp string, p Progress, number func(track int) int) error {
	file, err := durable.Open(temp, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer file.Close()
	hash := sha256.New()
	lines := bufio.NewReaderSize(io.TeeReader(io.LimitReader(file, p.Bytes), hash), 64<<10)
	for {
		line, err := lines.ReadBytes('\n')
		if line = bytes.TrimRight(line, ",\n"); len(line) > 0 {
			if err := r.appendLine(renumbered(line, number), p); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if hex.EncodeToString(hash.Sum(nil)) != p.SHA256 {
		return errors.New("the file is not as it was sealed")
	}
	r.summary.PeopleMax = max(r.summary.PeopleMax, p.PeopleMax)
	return nil
}

func (r *Recorder) appendLine(line []byte, p Progress) error {
	rec, err := ParseFrame(line)
	if err != nil {
		return err
	}
	rec.PTS += p.First
	r.count(rec)
	if r.summary.Frames > 1 {
		line = append([]byte(",\n"), line...)
	}
	_, err = r.buffered.Write(line)
	return err
}

// renumbered replaces the track numbers in a line.
func renumbered(line []byte, number func(track int) int) []byte {
	return tracks.ReplaceAllFunc(line, func(found []byte) []byte {
		key := len(`"track":`)
		track, err := strconv.Atoi(string(found[key:]))
		if err != nil { // more digits than an int can hold
			return found
		}
		return strconv.AppendInt(found[:key:key], int64(number(track)), 10)
	})
}
