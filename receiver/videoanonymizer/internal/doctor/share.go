// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/share"
)

// shared checks what this machine needs to share work with other machines.
func shared(cfg *config.Config) []Finding {
	if cfg.Share == nil {
		return nil
	}
	findings := []Finding{folder{"share::root", cfg.Share.Root, true}.examine()}
	if cfg.Share.TLS != nil {
		findings = append(findings, certificate(cfg.Share.TLS))
	}
	if cfg.Share.NKeyFile != "" {
		findings = append(findings, nkey(cfg.Share))
	}
	return findings
}

func certificate(files *share.TLS) Finding {
	f := Finding{What: "certificate " + files.CertFile}
	expiry, err := files.Expiry()
	if err != nil {
		f.Missing = fmt.Errorf("share::%w", err)
		return f
	}
	left := time.Until(expiry.At)
	f.Note = fmt.Sprintf("share::%s expires on %s, in %d days", expiry.Key, expiry.At.Format(time.DateOnly),
		int(left.Hours()/24))
	if left < share.Soon {
		f.Note += ": sign a new one"
	}
	return f
}

func nkey(cfg *share.Config) Finding {
	f := Finding{What: "nkey " + cfg.NKeyFile}
	public, err := cfg.PublicNKey()
	if err != nil {
		f.Missing = fmt.Errorf("share::%w", err)
		return f
	}
	f.Note = "the public one is " + public
	return f
}
