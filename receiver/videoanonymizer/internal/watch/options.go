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
	// Only, if not nil, are the files that are processed, of those that Config includes: absolute, without symbolic links.
	Only []string
	// OutputDirectory receives the outputs. It is created if it is missing.
	OutputDirectory string
	// OutputName maps a source's path below the folder that the include pattern names ("monday/walk.mkv" for
	// videos/incoming/**) to the output's path, absolute or relative to OutputDirectory. A name that is taken gets a
	// number before its extension.
	OutputName func(rel string) string
	// Companions returns the paths of the companion files that may come with an output, such as a report, in the
	// output's folder; nil means none. An output gets a name for which none of them exists.
	Companions func(output string) []string
	// StateDirectory holds the journal; empty means the folder StateDirectoryName in OutputDirectory. Only one
	// collector at a time can use it.
	StateDirectory string
	// ReportStatus, if given, is called with an error when no video can be started since the output or state directory
	// is gone, and with nil when all is well again.
	ReportStatus func(error)
	// Workers is how many callers Watcher.Next has; it decides whether First has to stop a job.
	Workers int
	// Changed, if given, is called when what Overview returns may have changed. It must return at once.
	Changed func()
	// OnSuccess defaults to OnSuccessKeep.
	OnSuccess OnSuccess
	// MoveTo receives the sources that are done, with OnSuccessMove.
	MoveTo string
	// QuarantineDirectory receives the sources that failed permanently, each with a <name>.reason.json; empty leaves
	// them in place.
	QuarantineDirectory string
	// FileMode is that of outputs, their companions, and files that explain something, whatever the umask. It defaults to
	// 0600.
	FileMode os.FileMode
	// Retry defaults to DefaultRetry.
	Retry  Retry
	Logger *zap.Logger
}

// statePath is the folder of the journal.
func (o *Options) statePath() string {
	return cmp.Or(o.StateDirectory, filepath.Join(o.OutputDirectory, StateDirectoryName))
}
