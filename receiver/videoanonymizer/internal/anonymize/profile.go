// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package anonymize

import (
	"errors"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
)

// errNoProfile says that the models were opened by another configuration. Without them nobody would be found.
var errNoProfile = errors.New("the models of the profile are not open")

// For is the same as the runner, with the profile of a source, or with the receiver's own configuration if none
// includes it. rel is the path below the watched folder.
func (r *Runner) For(source, rel string) (*Runner, error) {
	as := *r
	as.Config = r.Config.For(source, rel)
	name := as.Config.Profile()
	if name == "" {
		return &as, nil
	}
	p, ok := r.Models.profiles[name]
	if !ok {
		return &as, errNoProfile
	}
	as.Models = r.Models.with(p)
	as.Painter = mask.NewPainter(as.Config.Mask.PainterOptions())
	return &as, nil
}
