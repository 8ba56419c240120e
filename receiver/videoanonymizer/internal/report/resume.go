// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
)

// Progress describes what a recorder has made durable, so that another one can resume from it.
type Progress struct {
	// Bytes is the length of the recorder's file.
	Bytes int64 `json:"bytes"`
	// SHA256 is the digest of these bytes, in hex.
	SHA256 string `json:"sha256"`
	// First is the presentation time of the first frame.
	First time.Duration `json:"first"`
	// PeopleMax is the maximum number of people in one frame, which is not in the file.
	PeopleMax int `json:"people_max"`
}

// Seal makes all frames added so far durable.
func (r *Recorder) Seal() (Progress, error) {
	err := r.buffered.Flush()
	if err == nil {
		err = durable.Sync(r.file)
	}
	var size int64
	if err == nil {
		size, err = r.file.Seek(0, io.SeekCurrent)
	}
	if err != nil {
		return Progress{}, fmt.Errorf("report: %w", err)
	}
	sum := hex.EncodeToString(r.hash.Sum(nil))
	return Progress{Bytes: size, SHA256: sum, First: r.first, PeopleMax: r.summary.PeopleMax}, nil
}

// ResumeRecorder continues the file at temp after the sealed part. It finds the moments again from the masks in the
// file.
func ResumeRecorder(temp string, p Progress) (*Recorder, error) {
	file, err := durable.Open(temp, os.O_RDWR)
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	r := newRecorder(file)
	r.first, r.begun = p.First, true
	if err := r.replay(p); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("report: %s: %w", temp, err)
	}
	return r, nil
}

// replay counts the frames in the sealed part of the file and truncates the rest.
func (r *Recorder) replay(p Progress) error {
	stat, err := r.file.Stat()
	if err != nil {
		return err
	}
	if stat.Size() < p.Bytes {
		return errors.New("the file is shorter than what was sealed")
	}
	if err := r.file.Truncate(p.Bytes); err != nil {
		return err
	}
	lines := bufio.NewReaderSize(io.TeeReader(r.file, r.hash), 64<<10)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			rec, err := ParseFrame(line)
			if err != nil {
				return err
			}
			rec.PTS += p.First
			r.count(rec)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if hex.EncodeToString(r.hash.Sum(nil)) != p.SHA256 {
		return errors.New("the file is not as it was sealed")
	}
	r.summary.PeopleMax = max(r.summary.PeopleMax, p.PeopleMax)
	_, err = r.file.Seek(0, io.SeekEnd)
	return err
}
