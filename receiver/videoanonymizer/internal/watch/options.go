// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"cmp"
	"os"
	"path/filepath"

	"go.uber.org/zap"
)

// StateDirectoryName is the hidden folder in the output directory that holds the journal.
const StateDirectoryName = ".otelcol-anonymizer"

// Options configure a Watcher, which trusts them: the receiver's configuration validates them.
type Options struct {
	Config Config
	// Only, if not nil, limits the files that Config includes to those at these paths: absolute, without symbolic links.
	Only []string
	// OutputDirectory receives the outputs. It is created if it is missing.
	OutputDirectory string
	// OutputName maps a source's path below the folder that the include pattern names ("monday/walk.mkv" for
	// videos/incoming/**) to the output's path, absolute or relative to OutputDirectory. If the name is taken, a number is
	// inserted before its extension.
	OutputName func(rel string) string
	// Companions returns the paths of the companion files that may come with an output, such as a report, in the output's
	// folder; nil means none. An output gets a name with which none of them exists.
	Companions func(output string) []string
	// StateDirectory holds the journal; empty means the folder StateDirectoryName in OutputDirectory. Only one
	// collector at a time can use it.
	StateDirectory string
	// ReportStatus, if set, is called with an error when no video can be started because the output or state directory is
	// gone, and with nil when all is well again.
	ReportStatus func(error)
	// Workers is the number of callers of Watcher.Next. It determines whether First has to stop a job.
	Workers int
	// Changed, if set, is called when the result of Overview may have changed. It must return at once.
	Changed func()
	// OnSuccess defaults to OnSuccessKeep.
	OnSuccess OnSuccess
	// MoveTo receives the sources that are done, with OnSuccessMove.
	MoveTo string
	// QuarantineDirectory receives the sources that failed permanently, each with a <name>.reason.json; if it is empty,
	// they stay in place.
	QuarantineDirectory string
	// FileMode is the mode of outputs, their companions, and files that explain something, whatever the umask. It defaults
	// to 0600.
	FileMode os.FileMode
	// Retry defaults to DefaultRetry.
	Retry  Retry
	Logger *zap.Logger
}

// statePath returns the folder of the journal.
func (o *Options) statePath() string {
	return cmp.Or(o.StateDirectory, filepath.Join(o.OutputDirectory, StateDirectoryName))
}
