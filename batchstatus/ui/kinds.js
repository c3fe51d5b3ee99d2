// How the name of a kind is shown: `transaction_batch` as "Transaction batch".

export const kindLabel = (name) => name.replaceAll("_", " ").replace(/^./, (letter) => letter.toUpperCase());
