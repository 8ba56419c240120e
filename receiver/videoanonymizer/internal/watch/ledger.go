// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"go.uber.org/zap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
)

// Ledger is what a journal said when it was read, for programs that only look: it locks nothing, and may be read while
// a collector runs.
type Ledger struct{ journal *journal }

// ReadLedger reads the journal in a state directory; one that does not exist knows nothing. Lines that are damaged, or
// are being written, are left out.
func ReadLedger(state string) (*Ledger, error) {
	l := &Ledger{newJournal(zap.NewNop())}
	file, err := durable.Open(filepath.Join(state, journalName), os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	defer file.Close()
	if _, err := readRecords(file, l.journal.apply); err != nil {
		return nil, fmt.Errorf("read the journal %s: %w", file.Name(), err)
	}
	return l, nil
}

// Outcome returns what is known of the file at an absolute path without symbolic links, if it is still as it was when
// it got its outcome. Phase is empty for an output of ours; Error then says so.
func (l *Ledger) Outcome(path string) (o Overview, ok bool) {
	st, _, err := lstat(path)
	known, there := l.journal.source(path)
	switch {
	case err != nil:
		return o, false
	case there && known.State == stateOutput && known.Stamp == st, l.journal.isOutput(path):
		return Overview{Path: path, Error: isOurs}, true
	case !there || !known.State.final() || known.Stamp != st:
		return o, false
	}
	return outcomeOf(known, ""), true
}

// isOurs says why an output is left alone.
const isOurs = "it is an output of this program"
