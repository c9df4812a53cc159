// A second opinion on package bundles: the verifier of EKS Anywhere's own package controller.
//
//	eksa-verify KEY FILE...    prints for each file its digest and whether the controller would accept it
//
// KEY: base64 of a SubjectPublicKeyInfo. A line is: FILE accepted|refused HEX, or FILE error MESSAGE.
package main

import (
	"fmt"
	"os"

	"github.com/aws/eks-anywhere-packages/api/v1alpha1"
	"github.com/aws/eks-anywhere-packages/pkg/signature"
	"sigs.k8s.io/yaml"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: eksa-verify KEY FILE...")
		os.Exit(2)
	}
	domain := signature.Domain{Name: signature.DomainName, Pubkey: os.Args[1]}
	for _, name := range os.Args[2:] {
		fmt.Println(name, judge(domain, name))
	}
}

func judge(domain signature.Domain, name string) string {
	text, err := os.ReadFile(name)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	bundle := &v1alpha1.PackageBundle{}
	if err := yaml.Unmarshal(text, bundle); err != nil {
		return fmt.Sprintf("error %q", err)
	}
	valid, digest, _, err := signature.ValidateSignature(bundle, domain)
	switch {
	case err != nil:
		return fmt.Sprintf("error %q", err)
	case valid:
		return fmt.Sprintf("accepted %x", digest)
	default:
		return fmt.Sprintf("refused %x", digest)
	}
}
