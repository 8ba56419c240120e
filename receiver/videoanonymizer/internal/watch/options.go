// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"errors"
	"fmt"

	"go.uber.org/zap"
)

// StateDirectoryName is the hidden folder in the output directory that holds the journal.
const StateDirectoryName = ".otelcol-anonymizer"

// Options configure a Watcher.
type Options struct {
	Config Config
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
	// OnSuccess defaults to OnSuccessKeep.
	OnSuccess OnSuccess
	// MoveTo receives the sources that are done, with OnSuccessMove.
	MoveTo string
	// QuarantineDirectory receives the sources that failed permanently, each with a <name>.reason.json; empty leaves
	// them in place.
	QuarantineDirectory string
	// Retry defaults to DefaultRetry.
	Retry  Retry
	Logger *zap.Logger
}

func (o *Options) validate() error {
	errs := []error{o.Config.Validate()}
	if o.OutputDirectory == "" {
		errs = append(errs, errors.New(
			"output directory: is required: write the folder for the anonymized videos, such as videos/anonymized"))
	}
	if o.OutputName == nil {
		errs = append(errs, errors.New("output name: is required"))
	}
	switch o.OnSuccess {
	case OnSuccessKeep, OnSuccessDelete:
	case OnSuccessMove:
		if o.MoveTo == "" {
			errs = append(errs, errors.New(
				"move_to: is required with on_success: move: write the folder for finished sources"))
		}
	default:
		errs = append(errs, fmt.Errorf("on_success: %q is not valid: write keep, move or delete", o.OnSuccess))
	}
	if r := o.Retry; r.InitialInterval <= 0 || r.MaxInterval < r.InitialInterval || r.MaxAttempts < 1 {
		errs = append(errs, fmt.Errorf(
			"retry: %v to %v and %d attempts: write a positive interval, one not below it, and at least 1 attempt",
			r.InitialInterval, r.MaxInterval, r.MaxAttempts))
	}
	return errors.Join(errs...)
}
