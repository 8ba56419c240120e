// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package anonymize

import (
	"errors"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
)

// errNoProfile means that another configuration opened the models. Without the profile's models, nobody would be found.
var errNoProfile = errors.New("the models of the profile are not open")

// For returns the runner with the profile of a source, or with the receiver's own configuration if no profile includes
// it. rel is the path below the watched folder.
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
